  FROM   a	AS  b  
	USER	 c 
RUN   a   b	
